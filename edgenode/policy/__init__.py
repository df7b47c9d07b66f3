"""What then? Tags, filters, actions, and the pipeline that joins them."""
