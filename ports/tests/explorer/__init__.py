"""The explorer's tests: the page in Debian's Chromium."""
