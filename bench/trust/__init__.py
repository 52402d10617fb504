"""What trust costs: reading verified data, beside reading it unverified."""
