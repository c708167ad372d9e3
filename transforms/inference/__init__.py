"""What a sample of data says about itself: types, keys, event time, personal data."""
