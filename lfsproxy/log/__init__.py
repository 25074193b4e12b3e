"""What is in the log: how lines are written, which are left out, and the one line of an upload or a download.

``file`` writes lines, ``repeats`` leaves out those that come again and again, ``uploads`` and ``downloads``
have the line of each that ended, and ``trail`` what they leave behind for it. The logger itself is in
lfsproxy.logs.
"""
