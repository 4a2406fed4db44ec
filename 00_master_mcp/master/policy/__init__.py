"""Who may do what: decided from rules that people wrote, named in every refusal."""
