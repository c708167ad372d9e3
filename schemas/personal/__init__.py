"""Where personal data goes: from the contract's columns through the steps to everything written."""
