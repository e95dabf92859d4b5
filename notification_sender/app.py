"""The process: the only file that knows every concrete class. Build, run, close."""
