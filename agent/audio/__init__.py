"""Where sound comes from: microphone, file or standard input, as frames of 10 ms."""
