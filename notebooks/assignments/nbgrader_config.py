"""The graded course: where nbgrader finds it and how long a cell may take.

Everything that nbgrader makes (release/, submitted/, autograded/, feedback/ and the marks in
gradebook.db) stays in this folder, and git ignores it.
"""

from pathlib import Path

c = get_config()  # noqa: F821  (nbgrader provides it)

c.CourseDirectory.root = str(Path(__file__).resolve().parent)  # from wherever it is called
c.CourseDirectory.course_id = "easgd"
c.Execute.timeout = 180  # seconds a cell; importing PyTorch on a busy machine can take 30
