"""Near copies: which rows are surprisingly close, and which families they form. Pure."""
