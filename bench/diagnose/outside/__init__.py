"""A recipe as another package brings it, with its templates: one source that computes, or ends its process."""
