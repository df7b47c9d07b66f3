"""The content filter: rules in SecLang, such as those of the OWASP Core Rule Set, over the values of a request."""
