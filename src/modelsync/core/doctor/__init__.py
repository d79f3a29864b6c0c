"""What `modelsync doctor` says of what it saw: observations in, findings out."""
