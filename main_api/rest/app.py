"""The application object that Lambda and granian serve; nothing is opened before a request."""

from main_api.bootstrap import Current
from main_api.rest import routes

current = Current()
app = routes.build(current)
