"""WHO ANSWERS: the gateway, the pool of students and the way back to the teacher."""
