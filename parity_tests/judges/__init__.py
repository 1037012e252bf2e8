"""How each stage is judged: by elements, by survivors or by draws. `parity_tests.verdict.compare` calls the judges."""
