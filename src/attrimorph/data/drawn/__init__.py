"""Images that are drawn, so that the truth about each is known: faces, shapes, the points of a ring."""
