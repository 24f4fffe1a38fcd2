"""What a process does before its visitor is there, so that the visitor waits less.

preload    a template imports what cells import after the question
reads      it notes the files that cells read before it
unique     it notes what they make up before it, of which each visitor should have one
idle       it ends and gives back what it does not need, before it is forked
rehearsal  a child does once what each visit does
"""
