"""This machine: is it set up (doctor), how fast are steps and exchanges (calibrate, benchmark)."""
