"""Definition: what a session studies, as campaign.toml says it.

In:    campaign.toml, wishes of clients.
Out:   space and objectives; the file written back.
Never: touches the ledger.
"""
