"""Transfer: sessions as files, out and in again.

In:    sessions; files that anybody may have written.
Out:   files; sessions made of them, whole or not at all.
Never: runs anything that stands in a file.
"""
