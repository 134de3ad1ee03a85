"""What a study shows: tables, plots, one page of HTML that needs no network."""
