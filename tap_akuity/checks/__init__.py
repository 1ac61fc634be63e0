"""What is checked beside the events: the organization, the API key, the API itself."""
