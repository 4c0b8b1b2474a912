"""What each verb of the command line does, as one library call."""
