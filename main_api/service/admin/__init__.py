"""What administrators do with templates, databases and clients, from the first start on."""
