"""What an operator sees of calls: metrics, traces, transcripts. Nothing here is on the way of a call."""
