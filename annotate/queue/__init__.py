"""The rater's side of the queue: the next card, the verdict, the undo.

Every step is safe against two tabs, two clicks and two processes: slots and leases are
taken by filtered updates whose row count is looked at, and the database's constraints
refuse the rest.
"""
