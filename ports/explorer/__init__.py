"""The explorer: one HTML page that shows the head of a bundle at work, computed by the JavaScript port."""
