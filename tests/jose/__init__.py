"""What the id token tests are made of: a forge that makes any token and key, and the vectors of the RFCs."""
