"""A trained thing and what it can do: decode, encode, edit."""
