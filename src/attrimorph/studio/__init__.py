"""The studio: a page where a person moves a slider and the face follows, and the same over HTTP for programs."""
