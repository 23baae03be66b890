"""What an edit changes in a picture, as fields, and a picture of any size with it."""
