"""How are expressions written, and what do they mean? Cloudflare's Rules language, from text to formulas."""
