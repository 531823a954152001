"""What puts Strongroom onto AWS: the packages of the Lambda, and the CDK app."""
