"""The web pages: plain HTML made here, complete without scripts."""
