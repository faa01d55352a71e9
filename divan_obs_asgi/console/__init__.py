"""What the ops console keeps of one worker, and the JSON that its page shows. Imported only if the console is on."""
