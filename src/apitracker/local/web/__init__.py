"""The local page and its JSON: questions and answers, the application, the server."""
