"""The explorer: one HTML page on which a bundle's head can be watched, computed by the JavaScript port."""
