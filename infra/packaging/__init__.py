"""`make package`: the Lambda's function and its layer, as zip files under build/lambda."""
