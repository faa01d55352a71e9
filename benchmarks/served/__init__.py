"""What observing costs a served request: two servers, this stack, and what a team assembles today."""
