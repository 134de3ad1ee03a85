      layer__en = 0; sent = 0; taken = 0; waited = 0;
      while (taken < wanted && waited < 1000) begin
        random = {random[30:0], random[31] ^ random[21] ^ random[1] ^ random[0]};
        if (!i__valid && sent < offered && random[2:0] != 0) begin
          i__valid = 1; i__payload = inputs[sent];
        end
        o__ready = random[5:3] != 0;
        #4;
        waited = waited + 1;
        if (o__valid === 1 && o__ready) begin
          if (o__payload !== outputs[taken]) wrong;
          taken = taken + 1; waited = 0;
        end
        n = i__valid && i__ready === 1;
        @(negedge clk);
        if (n) begin i__valid = 0; sent = sent + 1; end
      end
