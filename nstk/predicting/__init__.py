"""What a finished classifier says about pictures, however many there are and whenever they come."""
