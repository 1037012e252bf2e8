"""The porting kit: vectors, a checker that speaks to any language, example ports."""
