"""What a call costs, here and with the tools that people would use instead. `script/bench` runs it all."""
