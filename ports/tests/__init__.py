"""Tests of the porting kit."""
