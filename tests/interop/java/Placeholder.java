final class Placeholder {}
