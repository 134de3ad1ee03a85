"""The sweep engine: a study is expanded to points, each computed once, kept, and shown."""
