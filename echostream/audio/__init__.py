"""Pure signal path: frames in, frames out. No thread, socket, file or clock lives here."""
