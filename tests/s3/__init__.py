"""What only the S3 driver does, beside the conformance suite."""
