"""What Google's services call."""
