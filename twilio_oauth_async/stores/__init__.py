"""Where tokens and pending flows are kept. Each store is imported from its own module; `base` says what one must do."""
