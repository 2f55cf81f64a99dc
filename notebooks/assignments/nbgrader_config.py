"""The graded course: where nbgrader finds it and how long a cell may take.

Everything that nbgrader makes (release/, submitted/, autograded/, feedback/ and the marks in
gradebook.db) stays in this folder, and git ignores it.
"""

import os
import sysconfig
from pathlib import Path

c = get_config()  # noqa: F821  (nbgrader provides it)

c.CourseDirectory.root = str(Path(__file__).resolve().parent)  # from wherever it is called
c.CourseDirectory.course_id = "easgd"
c.Execute.timeout = 180  # seconds a cell; importing PyTorch on a busy machine can take 30

# To make a gradebook nbgrader calls `alembic` by its bare name, so an environment that is not
# activated would not have it.
os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
