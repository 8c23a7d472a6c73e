"""The ear: what a channel's audio says in tones. Pure: numpy in, findings out; no thread, file or clock."""
