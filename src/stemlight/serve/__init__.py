"""The studio: a page for people and a REST service for programs, around one queue of songs.

page, program -> app (routes) -> store (jobs) <- worker processes -> files (a folder for each job)

The web process never decodes what was uploaded; workers do, one process for each device.
"""
